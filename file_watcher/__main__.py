"""`python -m file_watcher`: hands over to the commands."""

from file_watcher.cli import main

if __name__ == "__main__":
    main()
