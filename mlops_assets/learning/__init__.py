"""How a model is made and looked at: fitted, scored on rows it never saw, measured, explained, drawn.

Frames and numbers in, results out. No column of the churn table is known here: a column of numbers is a number, a
column of objects is categorical, and that is all a model is told.
"""
