"""What is kept in Redis besides jobs: predictions, worker marks, limits; and the connections to Redis."""
