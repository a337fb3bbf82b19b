"""Components of HTML reports, which load no other files."""
