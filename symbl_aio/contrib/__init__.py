"""What joins the client to other libraries. Each module needs the extra that it names."""
