# Connects this Windows machine to the box that it was fetched from, says all that it does, and takes it back.
# Windows PowerShell 5.1 and PowerShell 7. It is functions up to its last line; without options it says what there are.
param(
    [switch]$Trust,
    [switch]$Hosts,
    [switch]$Proxy,
    [switch]$Route,
    [string]$OfflineCopy = '',
    [switch]$Check,
    [switch]$Undo,
    [string]$Fingerprint = '',
    [switch]$Yes,
    [string]$Models = '',
    [switch]$DryRun
)

# @VALUES@

$ErrorActionPreference = 'Stop'
$Mark = '# ollama-appliance'
$State = Join-Path ([Environment]::GetFolderPath('LocalApplicationData')) 'ollama-appliance-client'
$HostsFile = Join-Path ([Environment]::SystemDirectory) 'drivers\etc\hosts'
$Bytewise = [Text.Encoding]::GetEncoding(28591) # A character for each byte: what is not ours stays as it is.
$Tries = 5 # Of a blob: connections on a LAN break seldom, and each goes on where the last one ended.

function Show-Usage {
    Write-Output @"
Connect this machine to the box at $BoxUrl

  -Trust              trust the box's CA: shows its fingerprint and asks; or -Yes -Fingerprint SHA256:...
  -Hosts              lead $Registry to the box by lines in the hosts file
  -Proxy              have this user's Ollama use the box as its proxy
  -Route              a route to the box's blob address, where it has one
  -OfflineCopy MODEL  copy a model from the box into Ollama's store, every byte verified; no Ollama need run
  -Check              does this machine find the box, trust it, and run Ollama?
  -Undo               take back what -Trust, -Hosts, -Proxy and -Route did here

  -Fingerprint F      what the CA's SHA-256 must be
  -Yes                do not ask; only with -Fingerprint
  -Models DIR         Ollama's store, where it is not in the usual place
  -DryRun             say what would be done, and do nothing

As administrator:  & ([scriptblock]::Create((irm $BoxUrl/install.ps1))) -Trust -Hosts
"@
}

function Assert-Administrator([string]$Option) {
    if ($DryRun) { return }
    $identity = [Security.Principal.WindowsIdentity]::GetCurrent()
    $principal = New-Object Security.Principal.WindowsPrincipal $identity
    if (-not $principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
        throw "$Option needs a PowerShell that was started as administrator"
    }
}

# curl.exe is part of Windows 10 since 1803. Whatever proxy the environment names, the box itself is asked.
function Test-Fetch([string[]]$Words) {
    & curl.exe -fs --noproxy '*' --connect-timeout 10 @Words
    return ($LASTEXITCODE -eq 0)
}

function New-Work {
    $work = Join-Path ([IO.Path]::GetTempPath()) ('ollama-appliance-' + [Guid]::NewGuid().ToString('N'))
    return (New-Item -ItemType Directory -Path $work).FullName
}

function Get-Sha256([byte[]]$Bytes) {
    $sha = [Security.Cryptography.SHA256]::Create()
    try { return [BitConverter]::ToString($sha.ComputeHash($Bytes)).Replace('-', '') } finally { $sha.Dispose() }
}

function Get-FileSha256([string]$Path) {
    return (Get-FileHash -Algorithm SHA256 -LiteralPath $Path).Hash.ToLowerInvariant()
}

function New-State {
    if (-not (Test-Path -LiteralPath $State)) { New-Item -ItemType Directory -Path $State | Out-Null }
}

# --- Trust.

function Read-Fingerprint {
    if ($Fingerprint -eq '') { return '' }
    $digits = ($Fingerprint -replace '^sha256:', '' -replace ':', '').ToUpperInvariant()
    if ($digits -notmatch '^[0-9A-F]{64}$') { throw 'a fingerprint is SHA256: and 64 hexadecimal digits' }
    return $digits
}

# The element of a DER encoding at $At: its tag, where its content begins, and where it ends.
function Read-Element([byte[]]$Der, [int]$At) {
    $length = [int]$Der[$At + 1]
    $start = $At + 2
    if ($length -ge 128) {
        $digits = $length - 128
        if ($digits -lt 1 -or $digits -gt 2) { throw 'refused, this CA is not as a box makes it: odd lengths' }
        $length = 0
        for ($i = 0; $i -lt $digits; $i++) { $length = $length * 256 + [int]$Der[$start + $i] }
        $start += $digits
    }
    if ($start + $length -gt $Der.Length) { throw 'refused, this CA is not as a box makes it: odd lengths' }
    return @{ Tag = [int]$Der[$At]; Start = $start; End = $start + $length }
}

# Its name constraints (RFC 5280, 4.2.1.10) as words: "permitted dns NAME", "excluded ip 0000000000000000".
function Read-Constraints([byte[]]$Der) {
    $all = Read-Element $Der 0
    $at = $all.Start
    while ($at -lt $all.End) {
        $side = Read-Element $Der $at
        $word = if ($side.Tag -eq 0xA0) { 'permitted' } else { 'excluded' }
        $inner = $side.Start
        while ($inner -lt $side.End) {
            $subtree = Read-Element $Der $inner
            $base = Read-Element $Der $subtree.Start
            $content = New-Object byte[] ($base.End - $base.Start)
            [Array]::Copy($Der, $base.Start, $content, 0, $content.Length)
            if ($base.Tag -eq 0x82) { "$word dns " + [Text.Encoding]::ASCII.GetString($content) }
            if ($base.Tag -eq 0x87) { "$word ip " + [BitConverter]::ToString($content).Replace('-', '') }
            $inner = $subtree.End
        }
        $at = $side.End
    }
}

# A CA that could speak for other names, or make other CAs, is not ours, whatever its fingerprint.
function Assert-Constraints($Certificate) {
    $refusal = 'refused, this CA is not as a box makes it'
    $basic = @($Certificate.Extensions | Where-Object { $_.Oid.Value -eq '2.5.29.19' })
    $isBound = $basic.Count -eq 1 -and $basic[0].Critical -and $basic[0].CertificateAuthority
    if (-not ($isBound -and $basic[0].HasPathLengthConstraint -and $basic[0].PathLengthConstraint -eq 0)) {
        throw "${refusal}: it can make other CAs, or is none"
    }
    $named = @($Certificate.Extensions | Where-Object { $_.Oid.Value -eq '2.5.29.30' })
    if ($named.Count -ne 1 -or -not $named[0].Critical) { throw "${refusal}: nothing binds it to certain names" }
    $words = @(Read-Constraints $named[0].RawData)
    $permitted = @($words | Where-Object { $_ -like 'permitted dns *' } | ForEach-Object { $_.Substring(14) })
    if ($permitted.Count -eq 0) { throw "${refusal}: nothing binds it to certain names" }
    foreach ($name in $permitted) {
        if (@($Registry, $BlobHost) -cnotcontains $name) { throw "${refusal}: it can speak for $name" }
    }
    foreach ($every in @(('0' * 16), ('0' * 64))) {
        if ($words -notcontains "excluded ip $every") { throw "${refusal}: it can speak for addresses" }
    }
}

function Read-Authority {
    $work = New-Work
    try {
        $path = Join-Path $work 'ca.pem'
        if (-not (Test-Fetch @('--max-filesize', '65536', '-o', $path, "$BoxUrl/ca.pem"))) {
            throw "$BoxUrl/ca.pem cannot be fetched"
        }
        $certificate = New-Object Security.Cryptography.X509Certificates.X509Certificate2 $path
    } finally {
        Remove-Item -Recurse -Force -LiteralPath $work
    }
    Assert-Constraints $certificate
    $found = Get-Sha256 $certificate.RawData
    Write-Host ("The box's CA has the fingerprint SHA256:" + ($found -replace '(..)(?!$)', '$1:'))
    $given = Read-Fingerprint
    if ($given -ne '' -and $given -ne $found) {
        throw 'that is not the fingerprint you gave: somebody is between this machine and the box, or it has a new CA'
    }
    return $certificate
}

# Does $Work with the machine's trusted roots.
function Use-Roots([scriptblock]$Work) {
    $store = New-Object Security.Cryptography.X509Certificates.X509Store 'Root', 'LocalMachine'
    $store.Open('ReadWrite')
    try { & $Work $store } finally { $store.Close() }
}

function Install-Trust {
    Assert-Administrator '-Trust'
    $certificate = Read-Authority
    if (-not ($Yes -or $DryRun)) {
        $answer = Read-Host "Trust it for $Registry and ${BlobHost}? [y/N]"
        if ($answer -notmatch '^(y|yes)$') { throw 'nothing was done' }
    }
    if ($DryRun) { Write-Output 'would add it to the trusted roots of this machine'; return }
    Undo-Trust
    $roots = Use-Roots { param($store) $store.Certificates.Thumbprint }
    if (@($roots) -contains $certificate.Thumbprint) { Write-Output 'This machine trusts it already.'; return }
    New-State
    [IO.File]::WriteAllText((Join-Path $State 'trust'), $certificate.Thumbprint)
    Use-Roots { param($store) $store.Add($certificate) }
    Write-Output 'This machine trusts it now: quit Ollama and start it again.'
}

function Undo-Trust {
    $kept = Join-Path $State 'trust'
    if (-not (Test-Path -LiteralPath $kept)) { return }
    if ($DryRun) { Write-Output "would take the box's CA out of the trusted roots"; return }
    $thumbprint = [IO.File]::ReadAllText($kept)
    Use-Roots {
        param($store)
        foreach ($each in @($store.Certificates | Where-Object { $_.Thumbprint -eq $thumbprint })) { $store.Remove($each) }
    }
    Remove-Item -LiteralPath $kept
    Write-Output "Took the box's CA out of the trusted roots: quit Ollama and start it again."
}

# --- The ways to the box.

function Remove-OurLines([string]$Text) {
    return [Regex]::Replace($Text, '(?m)^[^\r\n]*' + [Regex]::Escape($Mark) + '[ \t]*(\r?\n|\z)', '')
}

function Install-Hosts {
    Assert-Administrator '-Hosts'
    if ($BoxAddress.Contains('%')) { throw 'fetch this script by an address of the box that is no link-local one' }
    Undo-Hosts
    $before = [IO.File]::ReadAllBytes($HostsFile)
    $text = Remove-OurLines $Bytewise.GetString($before)
    foreach ($name in @($Registry, $BlobHost)) {
        if ($text -match ('(?m)^[^#\r\n]*[ \t]' + [Regex]::Escape($name) + '([ \t#\r\n]|\z)')) {
            throw "the hosts file already says where $name is: take that line out first"
        }
    }
    if ($text -ne '' -and -not $text.EndsWith("`n")) { $text += "`r`n" }
    $lines = "$BoxAddress $Registry $Mark`r`n"
    if ($BlobAddress -ne '') { $lines += "$BlobAddress $BlobHost $Mark`r`n" }
    Write-Output $lines.TrimEnd()
    if ($DryRun) { Write-Output "would go into $HostsFile"; return }
    New-State
    $after = $Bytewise.GetBytes($text + $lines)
    [IO.File]::WriteAllText((Join-Path $State 'hosts-after'), (Get-Sha256 $after))
    [IO.File]::WriteAllBytes((Join-Path $State 'hosts-before'), $before)
    [IO.File]::WriteAllBytes($HostsFile, $after)
}

function Undo-Hosts {
    $kept = Join-Path $State 'hosts-before'
    if (-not (Test-Path -LiteralPath $kept)) { return }
    if ($DryRun) { Write-Output "would take our lines out of $HostsFile"; return }
    $now = [IO.File]::ReadAllBytes($HostsFile)
    if ((Get-Sha256 $now) -eq [IO.File]::ReadAllText((Join-Path $State 'hosts-after'))) {
        [IO.File]::WriteAllBytes($HostsFile, [IO.File]::ReadAllBytes($kept))
    } else {
        [IO.File]::WriteAllBytes($HostsFile, $Bytewise.GetBytes((Remove-OurLines $Bytewise.GetString($now))))
    }
    Remove-Item -LiteralPath $kept, (Join-Path $State 'hosts-after')
    Write-Output "Took our lines out of $HostsFile."
}

function Install-Proxy {
    if ($ProxyUrl -eq '') { throw 'this box is no proxy: its operator has switched that off' }
    Undo-Proxy
    if ($DryRun) { Write-Output "would set HTTPS_PROXY=$ProxyUrl for this user"; return }
    New-State
    $before = [string][Environment]::GetEnvironmentVariable('HTTPS_PROXY', 'User')
    [IO.File]::WriteAllText((Join-Path $State 'proxy-after'), $ProxyUrl)
    [IO.File]::WriteAllText((Join-Path $State 'proxy-before'), $before)
    [Environment]::SetEnvironmentVariable('HTTPS_PROXY', $ProxyUrl, 'User')
    Write-Output "HTTPS_PROXY=$ProxyUrl for this user: quit Ollama and start it again. It must trust the CA, too: -Trust."
}

function Undo-Proxy {
    $kept = Join-Path $State 'proxy-before'
    if (-not (Test-Path -LiteralPath $kept)) { return }
    if ($DryRun) { Write-Output 'would put HTTPS_PROXY back'; return }
    $ours = [IO.File]::ReadAllText((Join-Path $State 'proxy-after'))
    if ([Environment]::GetEnvironmentVariable('HTTPS_PROXY', 'User') -eq $ours) {
        $before = [IO.File]::ReadAllText($kept)
        if ($before -eq '') { $before = [NullString]::Value } # None: it was not set.
        [Environment]::SetEnvironmentVariable('HTTPS_PROXY', $before, 'User')
    }
    Remove-Item -LiteralPath $kept, (Join-Path $State 'proxy-after')
    Write-Output 'HTTPS_PROXY is as it was: quit Ollama and start it again.'
}

# New-NetRoute writes to the routes that are in force and to those that are there after a restart, and names what is wrong.
function Install-Route {
    Assert-Administrator '-Route'
    if ($BlobAddress -eq '') {
        throw 'this box has no blob address: see "The newest Ollama and private addresses" in its docs/OPERATING.md'
    }
    if ("$BlobAddress$BoxAddress".Contains(':')) { Write-Output "The blob address $BlobAddress needs no route."; return }
    Undo-Route
    if ($DryRun) { Write-Output "would add a route to $BlobAddress by $BoxAddress"; return }
    $interface = @(Find-NetRoute -RemoteIPAddress $BoxAddress)[0].InterfaceIndex
    New-State
    $kept = Join-Path $State 'route'
    [IO.File]::WriteAllText($kept, "$BlobAddress/32 $BoxAddress")
    try {
        New-NetRoute -DestinationPrefix "$BlobAddress/32" -InterfaceIndex $interface -NextHop $BoxAddress | Out-Null
    } catch {
        Remove-Item -LiteralPath $kept
        throw
    }
    Write-Output "A route to $BlobAddress by $BoxAddress, also after this machine starts again."
}

function Undo-Route {
    $kept = Join-Path $State 'route'
    if (-not (Test-Path -LiteralPath $kept)) { return }
    $to, $by = [IO.File]::ReadAllText($kept) -split ' '
    if ($DryRun) { Write-Output "would take the route to $to by $by back"; return }
    $found = @(Get-NetRoute -DestinationPrefix $to -ErrorAction SilentlyContinue | Where-Object { $_.NextHop -eq $by })
    foreach ($each in $found) { Remove-NetRoute -InputObject $each -Confirm:$false }
    Remove-Item -LiteralPath $kept
    if ($found.Count -eq 0) { Write-Output "There was no route to $to any more."; return }
    Write-Output "Took the route to $to by $by back."
}

function Undo-All {
    if (-not (Test-Path -LiteralPath $State)) { Write-Output 'Nothing to undo here.'; return }
    if (@('trust', 'hosts-before', 'route') | Where-Object { Test-Path -LiteralPath (Join-Path $State $_) }) {
        Assert-Administrator '-Undo'
    }
    Undo-Route
    Undo-Proxy
    Undo-Hosts
    Undo-Trust
    if (-not $DryRun) { Remove-Item -Recurse -Force -LiteralPath $State }
}

# --- Models.

function Split-Model([string]$Text) {
    $pattern = '^(?:(?<space>[A-Za-z0-9_][A-Za-z0-9_-]*)/)?(?<name>[A-Za-z0-9_][A-Za-z0-9_.-]*)(?::(?<tag>[A-Za-z0-9_][A-Za-z0-9_.-]*))?\z'
    if ($Text -notmatch $pattern) { throw "not the name of a model in ${Registry}: $Text" }
    $space = if ($Matches.ContainsKey('space')) { $Matches['space'] } else { 'library' }
    $tag = if ($Matches.ContainsKey('tag')) { $Matches['tag'] } else { 'latest' }
    return @{ Repository = "$space/$($Matches['name'])"; Tag = $tag }
}

function Find-Store {
    if ($Models -ne '') { return $Models }
    if ($env:OLLAMA_MODELS) { return $env:OLLAMA_MODELS }
    return (Join-Path ([Environment]::GetFolderPath('UserProfile')) '.ollama\models')
}

function Copy-Model([string]$Text) {
    $model = Split-Model $Text
    $store = Find-Store
    if (-not (Test-Path -LiteralPath $store -PathType Container)) { throw "there is no directory ${store}: use -Models DIR" }
    if ($DryRun) { Write-Output "would copy $Text into $store"; return }
    $partial = Join-Path $store '.ollama-appliance' # On the store's disk; Ollama looks into blobs and manifests only.
    $blobs = Join-Path $store 'blobs'
    New-Item -ItemType Directory -Force -Path $partial, $blobs | Out-Null
    $manifest = Join-Path $partial 'manifest'
    $accept = 'Accept: application/vnd.docker.distribution.manifest.v2+json'
    $url = "$BoxUrl/v2/$($model.Repository)"
    if (-not (Test-Fetch @('-H', $accept, '--max-filesize', '4194304', '-o', $manifest, "$url/manifests/$($model.Tag)"))) {
        throw "the box has no $Text and cannot fetch it"
    }
    $listed = [IO.File]::ReadAllText($manifest) | ConvertFrom-Json
    $digests = @(@($listed.config) + @($listed.layers) | ForEach-Object { $_.digest } | Select-Object -Unique)
    foreach ($digest in $digests) {
        if ($digest -cnotmatch '^sha256:[0-9a-f]{64}\z') { throw 'the box sent a manifest that cannot be read' }
        Copy-Blob "$url/blobs/$digest" $digest.Substring(7) $partial $blobs
    }
    $shelf = Join-Path (Join-Path $store "manifests\$Registry") $model.Repository.Replace('/', '\')
    New-Item -ItemType Directory -Force -Path $shelf | Out-Null
    Move-Item -Force -LiteralPath $manifest -Destination (Join-Path $shelf $model.Tag) # Last: Ollama lists what is whole.
    Remove-Item -Recurse -Force -LiteralPath $partial
    Write-Output "Copied $Text into $store; ``ollama rm`` removes it."
}

function Copy-Blob([string]$Url, [string]$Hex, [string]$Partial, [string]$Blobs) {
    $place = Join-Path $Blobs "sha256-$Hex"
    if (Test-Path -LiteralPath $place) { return }
    Write-Output "sha256:$Hex"
    $path = Join-Path $Partial $Hex
    foreach ($attempt in 1..2) {
        if ((Test-Blob $path $Hex) -or ((Resume-Blob $Url $path) -and (Test-Blob $path $Hex))) {
            Move-Item -LiteralPath $path -Destination $place
            return
        }
        Write-Output 'What came is not what it should be.'
        if (Test-Path -LiteralPath $path) { Remove-Item -LiteralPath $path }
    }
    throw "sha256:$Hex cannot be fetched whole: nothing of this model is in the store's list"
}

function Test-Blob([string]$Path, [string]$Hex) {
    return ((Test-Path -LiteralPath $Path) -and (Get-FileSha256 $Path) -eq $Hex)
}

function Resume-Blob([string]$Url, [string]$Path) {
    foreach ($try in 1..$Tries) {
        if (Test-Fetch @('-L', '-C', '-', '-o', $Path, $Url)) { return $true }
    }
    return $false
}

# --- Whether it works.

function Show-Check {
    $work = New-Work
    try {
        $there = Join-Path $work 'there'
        $here = Join-Path $work 'here'
        $leads = (Test-Fetch @('-m', '10', '-o', $there, "http://${Registry}:$WebPort/check")) -and
            (Test-Fetch @('-m', '10', '-o', $here, "$BoxUrl/check")) -and
            ((Get-FileSha256 $there) -eq (Get-FileSha256 $here))
    } finally {
        Remove-Item -Recurse -Force -LiteralPath $work
    }
    Show-Answer $leads "$Registry leads to the box" 'its DNS, or -Hosts; not needed where Ollama has the box as its proxy'
    # curl.exe asks Windows' own roots; a CA without a revocation list is no fault to Ollama either.
    $way = "${Registry}:443:${BoxHost}:$TlsPort"
    $trusts = Test-Fetch @('-m', '10', '--ssl-no-revoke', '-o', 'NUL', '--connect-to', $way, "https://$Registry/v2/")
    Show-Answer $trusts "this machine trusts the box's CA" '-Trust; not needed for `ollama pull --insecure`'
    $runs = Test-Fetch @('-m', '10', '-o', 'NUL', 'http://127.0.0.1:11434/api/version')
    Show-Answer $runs 'Ollama runs' 'start it'
}

function Show-Answer([bool]$IsSo, [string]$Claim, [string]$Remedy) {
    if ($IsSo) { Write-Output "ok: $Claim" } else { Write-Output "NO, it is not so that ${Claim}: $Remedy" }
}

function Connect-Machine {
    if ($Yes -and (Read-Fingerprint) -eq '') { throw '-Yes needs -Fingerprint SHA256:..., from whoever runs the box' }
    if (-not ($Trust -or $Hosts -or $Proxy -or $Route -or $OfflineCopy -or $Check -or $Undo)) { Show-Usage; return }
    if ($Undo) { Undo-All }
    if ($Trust) { Install-Trust }
    if ($Hosts) { Install-Hosts }
    if ($Proxy) { Install-Proxy }
    if ($Route) { Install-Route }
    if ($OfflineCopy) { Copy-Model $OfflineCopy }
    if ($Check) { Show-Check }
}

Connect-Machine
