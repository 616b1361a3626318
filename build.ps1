#!/usr/bin/env pwsh
# ./build.ps1 VERB [arguments]; eng/build.cs has the verbs.
# PowerShell cuts -p:X=y into "-p:" and "X=y", and X=a,b into a list: they are put together again. A "--" it keeps for itself, unless quoted: '--'.
$whole = @()
foreach ($argument in $args) {
  if ($whole -and $whole[-1] -match '^-[\w-]+:$') { $whole[-1] += $argument -join ',' } else { $whole += $argument -join ',' }
}
dotnet run --file (Join-Path $PSScriptRoot 'eng/build.cs') -- @whole
exit $LASTEXITCODE
