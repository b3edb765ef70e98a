#!/usr/bin/env bash
# What people write first: the thing that `make bench` compares with. It waits for the app's deployment ID, lets the app
# activate it with one curl, sleeps, and gives the seat back with one curl at SIGTERM. Not for use: it writes nothing
# down, so a seat is lost with the process, a crash of the app goes unnoticed, and the key is in the arguments of curl.
#
# APP_URL         the app's REST API
# ACTIVATION_URL  the activation server
# KEY_FILE        file with the activation key
set -u

key=$(tr -d '[:space:]' < "$KEY_FILE")
seat=

app_id() {
  curl --silent --max-time 5 "$APP_URL/admin/license" | sed -n 's/.*"deployment": *"\([^"]*\)".*/\1/p'
}

activate() {
  curl --silent --fail --max-time 30 --output /dev/null --header 'Content-Type: application/json' \
    --data "{\"activationKey\": \"$key\", \"quantity\": 1}" "$APP_URL/admin/license/activation"
}

give_back() {
  if [ -n "$seat" ]; then
    curl --silent --max-time 10 --output /dev/null "$ACTIVATION_URL/deactivation?key=$key&deployment=$seat"
  fi
  exit 0
}

trap give_back TERM INT

id=$(app_id)
until [ -n "$id" ] && [ "$id" != null ]; do
  sleep 1
  id=$(app_id)
done

until activate; do sleep 5; done
seat=$id

while :; do
  sleep 3600 &
  wait $!
done
