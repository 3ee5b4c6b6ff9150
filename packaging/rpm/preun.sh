# $1 is how many versions stay: 0 when octroi goes, 1 or more in an upgrade, which stops nothing.
if [ "$1" -eq 0 ]; then
    active=
    if [ -d /run/systemd/system ]; then
        if systemctl --quiet is-active octroi.service; then
            active=1
        fi
        systemctl stop octroi.service || :
    fi
    # Without octroi nobody would know how to open the gate, and it would go on filtering.
    if ! said=$(octroi detach --all 2>&1); then
        echo "$said" >&2
        echo "octroi is not removed, since its gate could not be opened" >&2
        # It stays enabled, too: else the gate would be open after the next boot.
        if [ -n "$active" ]; then
            systemctl start octroi.service || :
        fi
        exit 1
    fi
    echo "octroi: the gate is open; $said"
    # Also where systemd does not run, in an image say: its links are files.
    systemctl --no-reload disable octroi.service >/dev/null 2>&1 || :
fi
