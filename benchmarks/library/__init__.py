"""The Django app whose models make the tables that every mode reads."""
