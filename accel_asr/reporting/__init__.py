"""What a person reads after a run: report.html, which stands alone, and pictures for papers."""
