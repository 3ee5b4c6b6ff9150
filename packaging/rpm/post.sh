# $1 is how many versions are installed now: 1 after an installation, 2 or more in an upgrade.
systemd-sysusers octroi.conf || :
if [ -d /run/systemd/system ]; then
    # Refused in a container whose /sys/fs/bpf is another's; the unit does it again before each start.
    systemd-tmpfiles --create octroi.conf || :
    systemctl daemon-reload >/dev/null || :
fi
if [ "$1" -eq 1 ]; then
    # Enabled only where the machine's own presets say so: a filter that nobody configured could cut somebody off.
    systemctl --no-reload preset octroi.service >/dev/null 2>&1 || :
    echo "octroi filters nothing yet: write /etc/octroi/octroi.toml, try it by \`octroi check\`, then \`systemctl enable --now octroi\`"
elif [ -d /run/systemd/system ] && systemctl --quiet is-active octroi.service; then
    # What the daemon before attached goes on filtering until the new one takes it over.
    systemctl restart octroi.service ||
        echo "octroi: the new version did not start, and the gate stays as it was: journalctl -u octroi says why" >&2
fi
