"""What several tests share: real servers on free ports, real files, waiting and the search for leaks."""
