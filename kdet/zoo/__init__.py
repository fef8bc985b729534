"""Cards of the rows of the zoo, with published metrics, sizes and commands."""
