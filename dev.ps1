# Sets up sos-plugins in .venv on Windows, and runs it. Not tried on Windows: docs/install.md.
# Usage: ./dev.ps1 [setup|demo|test] [-NoR] [arguments]
param(
    [ValidateSet("setup", "demo", "test")][string]$Command = "setup",
    [switch]$NoR,
    [Parameter(ValueFromRemainingArguments = $true)][string[]]$Arguments = @()
)
$ErrorActionPreference = "Stop"
Set-Location $PSScriptRoot
$Python = Join-Path ".venv" "Scripts/python.exe"

function Stop-With([string]$Sentence) {
    Write-Host "dev: $Sentence"
    exit 1
}

function Install-Extra([string]$Extra) {
    & $Python -m pip install --disable-pip-version-check -q -e ".[$Extra]"
    return $LASTEXITCODE -eq 0
}

if (-not (Test-Path $Python)) {
    if (-not (Get-Command py -ErrorAction SilentlyContinue)) {
        Stop-With "Python 3.11 or newer is needed and the launcher 'py' was not found: install Python."
    }
    & py -3 -c "import sys; sys.exit(sys.version_info < (3, 11))"
    if ($LASTEXITCODE -ne 0) { Stop-With "Python 3.11 or newer is needed." }
    & py -3 -m venv .venv
    if ($LASTEXITCODE -ne 0) { Stop-With "The folder .venv could not be made." }
}
if (-not (Install-Extra "dev")) {
    Stop-With "The Python packages could not be installed. Is there a connection to a package index?"
}
if (-not $NoR) {
    $R = Get-Command R.exe -ErrorAction SilentlyContinue
    if (-not $R -and -not $env:R_HOME) {
        Write-Host "Going on without R: install it and set R_HOME to its folder to have its engines."
        $NoR = $true
    }
    elseif (-not (Install-Extra "r")) {
        Write-Host "Going on without R: rpy2 could not be installed."
        $NoR = $true
    }
}
if ($NoR) { $env:SOS_NO_R = "1" }

switch ($Command) {
    "setup" { & $Python -m sos_plugins doctor }
    "demo" { & $Python -m sos_plugins demo @Arguments }
    "test" { & $Python -m pytest @Arguments }
}
exit $LASTEXITCODE
