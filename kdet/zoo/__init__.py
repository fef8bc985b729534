"""Cards of the zoo's rows: published numbers, sizes, commands."""
