# Installs the program minift for the current user:
#
#   irm https://github.com/minift/minift/releases/latest/download/install.ps1 | iex
#
#   $env:MINIFT_PREFIX    where to: bin\minift.exe below this folder (default %LOCALAPPDATA%\minift)
#   $env:MINIFT_VERSION   which version, such as v0.2.0 (default: the latest)
#   $env:MINIFT_RELEASES  address of the releases (default: those on GitHub)

# Everything is in a function, so that a download that breaks off installs nothing.
function Install-Minift {
    $ErrorActionPreference = "Stop"
    $ProgressPreference = "SilentlyContinue"
    $releases = if ($env:MINIFT_RELEASES) { $env:MINIFT_RELEASES } else { "https://github.com/minift/minift/releases" }
    $prefix = if ($env:MINIFT_PREFIX) { $env:MINIFT_PREFIX } else { Join-Path $env:LOCALAPPDATA "minift" }
    $scratch = Join-Path ([IO.Path]::GetTempPath()) ([Guid]::NewGuid())
    New-Item -ItemType Directory $scratch | Out-Null
    try {
        $version = $env:MINIFT_VERSION
        if (-not $version) {
            $file = Join-Path $scratch "version.txt"
            Invoke-WebRequest -UseBasicParsing "$releases/latest/download/version.txt" -OutFile $file
            $version = (Get-Content $file -Raw).Trim()
        }
        # Windows on Arm runs it by emulation.
        $name = "minift-$version-x86_64-pc-windows-msvc"
        $archive = Join-Path $scratch "$name.zip"
        Invoke-WebRequest -UseBasicParsing "$releases/download/$version/$name.zip" -OutFile $archive
        Invoke-WebRequest -UseBasicParsing "$releases/download/$version/$name.zip.sha256" -OutFile "$archive.sha256"
        $expected = (Get-Content "$archive.sha256" -Raw).Split(" ")[0]
        $found = (Get-FileHash $archive -Algorithm SHA256).Hash
        if ($found -ne $expected) { throw "$name.zip is damaged: its SHA-256 is $found, expected $expected" }
        Expand-Archive $archive $scratch

        $bin = Join-Path $prefix "bin"
        New-Item -ItemType Directory -Force $bin | Out-Null
        Copy-Item (Join-Path $scratch "$name\minift.exe") $bin -Force
        Copy-Item (Join-Path $scratch "$name\*LICENSE*") $prefix -Force
        Copy-Item (Join-Path $scratch "$name\completions\_minift.ps1") $prefix -Force
        Write-Output "minift $version was installed as $bin\minift.exe"

        $path = [Environment]::GetEnvironmentVariable("Path", "User")
        if (($path -split ";") -notcontains $bin) {
            [Environment]::SetEnvironmentVariable("Path", "$bin;$path", "User")
            Write-Output "$bin was added to PATH: open a new terminal to run minift."
        }
    } finally {
        Remove-Item $scratch -Recurse -Force
    }
}

Install-Minift
