"""The page: what its content is made of, and from that to one HTML file with style and script."""
