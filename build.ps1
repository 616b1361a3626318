#!/usr/bin/env pwsh
# ./build.ps1 VERB [arguments]; eng/build.cs has the verbs.
dotnet run --file (Join-Path $PSScriptRoot 'eng/build.cs') -- @args
exit $LASTEXITCODE
