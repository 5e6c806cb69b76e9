"""What is kept, and where: tables of rows, one writer, one interface over every database."""
