"""Nearest neighbours among rows: the engines, what each is for, and which one holds how many."""
