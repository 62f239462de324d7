"""What a run will take and what it took: work by sizes and options, rates by what this machine did before.

rates       seconds per unit of work, as runs of this machine measured it, in the user's cache
estimate    a manifest's rows -> a range of time, or that it is unknown
encoding    which pictures of styles are encoded for which pair
spent       what the pairs of a run took, total and by style
words       both as they are read
"""
