"""The labelled files that are never trained on, with their names."""

from __future__ import annotations

DEV = {
    "dev/tweeteval_val.tsv.gz": "TweetEval validation",
    "dev/sst_dev.tsv.gz": "SST sentences",
    "dev/dynasent_r2_dev.tsv.gz": "DynaSent round 2",
    "dev/goemotions_dev.tsv.gz": "GoEmotions",
    "dev/kaggle_tweets_dev.tsv.gz": "Kaggle tweets",
}
"""The files used for choices while the model is made."""
IN_DOMAIN = "dev/tweeteval_val.tsv.gz"
"""The file of the kind of texts that the model is for."""
TEST = {"test/tweeteval.tsv.gz": "TweetEval test"}
"""The file used only once, at the end."""
