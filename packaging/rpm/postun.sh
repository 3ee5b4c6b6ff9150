# $1 is how many versions stay.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload >/dev/null || :
fi
if [ "$1" -eq 0 ]; then
    # preun removed the pins; a directory without any may be left. Leases and configuration stay.
    rm -rf /sys/fs/bpf/octroi /run/octroi
fi
