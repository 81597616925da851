"""What `python -m benchmarks.gpu_first` measures: each section is a function that yields lines of Markdown."""
