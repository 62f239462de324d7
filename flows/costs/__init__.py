"""Time estimates before a run and the costs of a finished one, both from rates measured on this machine.

rates        seconds per unit of work, measured by earlier runs of this machine and kept in the user's cache
estimate     a manifest's pairs -> the range of time that they will take, or None where nothing was measured yet
style_reuse  how many style images each pair makes the engine encode, given what earlier pairs share with it
spent        the device time and evaluations of a finished run, in total and by style
wording      durations and costs formatted for people
"""
