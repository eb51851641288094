"""Pictures that the notebooks show but do not explain: drawing code, kept out of the reader's way, a module a topic.

Each function draws what it is given on axes of `course.panels`, and computes nothing that a notebook claims.
"""
