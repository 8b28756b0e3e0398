"""What the churn table means: its contracts, its cleaning, its features, its offers and its simulated future.

To put another table in, rewrite this room and nothing else.
"""
