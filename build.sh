#!/bin/sh
# ./build.sh VERB [arguments]; eng/build.cs has the verbs.
exec dotnet run --file "$(dirname "$(readlink -f "$0")")/eng/build.cs" -- "$@"
