"""From prediction files to scores, tables and figures. Imports no torch."""
