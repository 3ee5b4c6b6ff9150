# $1 is how many versions stay: 0 when octroi goes, 1 or more in an upgrade, which stops nothing.
if [ "$1" -eq 0 ]; then
    if [ -d /run/systemd/system ]; then
        systemctl --no-reload disable --now octroi.service || :
    fi
    # Without octroi nobody would know how to open the gate, and it would go on filtering.
    if ! said=$(octroi detach --all 2>&1); then
        echo "$said" >&2
        echo "octroi is not removed, since its gate could not be opened" >&2
        exit 1
    fi
    echo "octroi: the gate is open; $said"
fi
