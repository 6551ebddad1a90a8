"""The Django application that the questions of the suite `django` are asked in."""
