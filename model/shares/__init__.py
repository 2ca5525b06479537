"""Shares of the three classes in many texts, comparisons and shifts, from scores and a person's labels.

Pure: arrays in, frozen dataclasses out, numpy alone. Classes are in the order NEGATIVE, NEUTRAL, POSITIVE.
The population is always the finite set of texts that are counted: the stream's, the segment's or the window's.

    sums        what is kept of many texts: 8 numbers, which add up
    estimates   the answers: `Estimate`, `Shares`, `Difference`, `Comparison`
    intervals   Wilson's interval at an effective number, quantiles
    raw         shares by the model's labels
    corrected   shares by a person's labels, with the scores of all texts to make them go further
    clusters    equal texts and one author's posts: the design effect
    difference  one against another, and which is ahead
    series      buckets of time
    shift       a shift, as it is told
    detector    shifts while texts arrive
    shifts      shifts in texts that are all there
"""
