#!/usr/bin/env bash
# Runs a server for as long as its starter lives:
#
#   test/servers/run.sh SECONDS COMMAND [ARGUMENT]...
#
# The server is killed when standard input ends, which it does however the
# starter dies, and after SECONDS at the latest.
set -u
deadline=$((SECONDS + $1))
shift
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
trap 'kill -9 $server 2>/dev/null; wait $server 2>/dev/null' EXIT
trap 'exit 143' TERM INT HUP
while kill -0 $server 2>/dev/null && [ $SECONDS -lt $deadline ]; do
  read -r -t 1 -u 3 _
  # Over 128 means that the second passed; anything else that the input ended.
  if [ $? -le 128 ]; then exit 0; fi
done
# Its own exit status if it has ended, else the trap ends it.
kill -0 $server 2>/dev/null || { wait $server; exit $?; }
exit 124
