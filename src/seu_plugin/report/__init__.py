"""From results to what people look at: tables, pictures, the page, files for other programs."""
