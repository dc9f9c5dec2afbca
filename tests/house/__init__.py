"""The house around the code: its layers, names, sizes, pages and examples."""
