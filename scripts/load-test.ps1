# Loads what a preset names and writes its report: the flags and files of load-test.sh. It is parsed and its flags are compared with that script's; it was
# not run, since no PowerShell is at hand where it was written.
# Usage: load-test.ps1 api-endpoints [--base URL] [--rate N] [--for DURATION] [--out FOLDER]
#        load-test.ps1 worker-throughput [--base URL] [--rate N] [--for DURATION] [--out FOLDER]
#        load-test.ps1 db-connections [--each DURATION] [--out FOLDER]               (DATABASE_URL)
#        load-test.ps1 redis-cache [--rate N] [--for DURATION] [--out FOLDER]        (REDIS_URL)
# OFFGRIDFLOW_LOADTEST names the command, if it is not to be built here. Exit status: as `offgridflow-loadtest` has it, 2 usage.
$ErrorActionPreference = 'Stop'
$root = Split-Path -Parent $PSScriptRoot

function Show-Usage { Get-Content $PSCommandPath | Where-Object { $_ -match '^#' } | ForEach-Object { $_ -replace '^# ?', '' } }

$preset = if ($args.Count -gt 0) { $args[0] } else { '' }
if ($preset -in '-h', '--help') { Show-Usage; exit 0 }
if ($preset -notin 'api-endpoints', 'worker-throughput', 'db-connections', 'redis-cache') { Show-Usage; exit 2 }

$base = ''; $rate = ''; $for = ''; $each = ''; $out = '.'
for ($at = 1; $at -lt $args.Count; $at += 2) {
    if ($at + 1 -ge $args.Count) { Write-Error "$($args[$at]) needs a value" -ErrorAction Continue; exit 2 }
    $value = $args[$at + 1]
    switch -CaseSensitive ($args[$at]) {
        '--base' { $base = $value }
        '--rate' { $rate = $value }
        '--for' { $for = $value }
        '--each' { $each = $value }
        '--out' { $out = $value }
        default { Write-Error "unknown argument: $($args[$at])" -ErrorAction Continue; exit 2 }
    }
}
New-Item -ItemType Directory -Force -Path $out | Out-Null

function Invoke-LoadTest([string[]] $arguments) {
    if ($env:OFFGRIDFLOW_LOADTEST) { & $env:OFFGRIDFLOW_LOADTEST @arguments }
    else { & cargo run --quiet --release --manifest-path (Join-Path $root 'Cargo.toml') -p offgridflow-loadtest --features 'sql,redis' -- @arguments }
    exit $LASTEXITCODE
}

switch ($preset) {
    { $_ -in 'api-endpoints', 'worker-throughput' } {
        $scenario = Join-Path $out "$preset.toml"
        $text = Get-Content -Raw (Join-Path $root "docs/loadtest/$preset.toml")
        if ($base) { $text = $text -replace '(?m)^url = .*$', "url = `"$base`"" }
        if ($rate) { $text = $text -replace '(?m)^requests_per_second = .*$', "requests_per_second = $rate" }
        if ($for) { $text = $text -replace '(?m)^duration = .*$', "duration = `"$for`"" }
        Set-Content -NoNewline -Path $scenario -Value $text
        Invoke-LoadTest @('run', $scenario, '--plain', '--json', (Join-Path $out "$preset.json"), '--html', (Join-Path $out "$preset.html"))
    }
    'db-connections' {
        $flags = @('preset', 'db-connections', '--json', (Join-Path $out 'db-connections.json'))
        if ($each) { $flags += '--each', $each }
        Invoke-LoadTest $flags
    }
    'redis-cache' {
        $flags = @('preset', 'redis-cache', '--json', (Join-Path $out 'redis-cache.json'), '--html', (Join-Path $out 'redis-cache.html'))
        if ($rate) { $flags += '--rate', $rate }
        if ($for) { $flags += '--for', $for }
        Invoke-LoadTest $flags
    }
}
