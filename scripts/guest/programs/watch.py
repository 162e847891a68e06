# SPDX-License-Identifier: GPL-2.0-or-later
"""watch.py DIR: what watchdog says of what is in it, until killed."""
import os
import sys
import time
from watchdog.events import FileSystemEventHandler
from watchdog.observers import Observer


class Printer(FileSystemEventHandler):
    def on_any_event(self, event):
        # Of the directory itself it says that it is modified, each time.
        if event.src_path != sys.argv[1]:
            names = (os.path.basename(p) for p in (event.src_path, event.dest_path) if p)
            print(event.event_type, *names, flush=True)


observer = Observer()
observer.schedule(Printer(), sys.argv[1])
observer.start()
while True:
    time.sleep(60)
