"""Masks: images whose colours mark regions, or whose white marks a protected area.

levels    what counts as black, white and an area of a mask
colours   how far apart colours are, and their names
counting  how much each colour of a mask covers, and which of them fill areas
palette   which colours of a mask are regions
matching  the regions of two masks, matched by colour
maps      how much each pixel belongs to a region, or is white
"""
