"""What is kept in Redis: predictions, presence of workers, limits; and the connections to it."""
