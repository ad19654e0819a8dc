python: can't open file '/work/h/c/cap.py': [Errno 2] No such file or directory
