#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# run.sh ROWS: in the Debian of scripts/programs, which see. Tells the host by files in
# log how far it is.
cd /srv || exit
logs="log/inotifywait log/watchdog log/node"

# all_have_said: whether each of them watches by now
all_have_said() {
	local log
	for log in $logs; do [ -s "$log" ] || return; done
}

inotifywait -m -q --format '%e %f' watched >>log/inotifywait &
python3 -u watch.py watched >>log/watchdog &
node watch.js watched >>log/node &
until all_have_said; do
	touch watched/probe
	rm watched/probe
	sleep 1
done
sleep 2
for log in $logs; do : >"$log"; done
touch log/watching
until [ -e log/edited ]; do sleep 0.5; done
kill %1 %2 %3
touch log/writing
python3 sqlite.py write db/test guest "$1" || exit
until [ -e log/written ]; do sleep 0.5; done
python3 sqlite.py check db/test >log/guest
