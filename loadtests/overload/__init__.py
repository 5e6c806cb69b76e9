"""`make overload`: both servers past their capacity, with slow clients and with sick disks."""
