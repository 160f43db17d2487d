"""Any table, file, folder or URL as columns, and columns as files."""
