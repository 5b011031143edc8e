"""The database under the catalog: its connection and commits, its schema's migrations, and the forms that rows take."""
