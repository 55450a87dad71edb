"""Parts of the page: from the tables of evidence to blocks of text, tables and charts."""
