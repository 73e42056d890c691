#!/bin/sh
# launch.sh EXIT GRACE COMMAND...   runs the command in this process group, which ends with the command.
# Standard input is the lifeline: at its end (the owner has died, even by SIGKILL) the group gets TERM, GRACE seconds, KILL.
# The command's exit code is written to the file EXIT: whoever adopts this group is not its parent and could not wait for it.
exit=$1 grace=$2
shift 2
exec 3<&0
trap : TERM # the command hears it too; its code is worth waiting for

"$@" </dev/null 3<&- &
command=$!
(
  trap '' TERM
  while read -r _; do :; done
  kill -TERM 0
  sleep "$grace"
  kill -KILL 0
) <&3 &

wait $command
code=$?
while kill -0 $command 2>/dev/null; do # it was the trap that ended the wait
  wait $command
  code=$?
done
echo $code >"$exit.partial" && mv "$exit.partial" "$exit"
kill -KILL 0
