#!/usr/bin/env bash
# A Slurm cluster on this one machine, to try the chain on: tests/cluster/slurm.sh start|stop FOLDER
# For hand use, as root, with Debian's packages slurmctld, slurmd, slurm-client and munge. FOLDER gets the
# configuration, state and logs; /etc/slurm, where Slurm's commands look, links to it.
# A GPU is pretended (of /dev/null), so that one can be requested; nothing can run on it.
set -euo pipefail

action=$1 folder=$(realpath -m "$2")
conf=$folder/slurm.conf

start() {
    mkdir -p "$folder/state" "$folder/spool" /run/munge
    local host cpus
    host=$(hostname -s) cpus=$(nproc)
    cat > "$conf" << EOF
ClusterName=one
SlurmctldHost=$host
SlurmUser=root
AuthType=auth/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
NodeName=$host CPUs=$cpus RealMemory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 1024)) Gres=gpu:1 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
EOF
    printf 'NodeName=%s Name=gpu File=/dev/null\n' "$host" > "$folder/gres.conf"
    chown munge /run/munge
    pgrep -x munged > /dev/null || runuser -u munge -- /usr/sbin/munged
    mkdir -p /etc/slurm
    ln -sf "$folder"/*.conf /etc/slurm/
    slurmctld
    slurmd
    for _ in $(seq 30); do
        if sinfo --noheader --format %T | grep -q idle; then
            sinfo
            return
        fi
        sleep 1
    done
    echo "the node does not come up: $folder/slurmd.log says why" >&2
    return 1
}

stop() {
    for daemon in slurmd slurmctld; do
        if [ -f "$folder/$daemon.pid" ]; then kill "$(cat "$folder/$daemon.pid")"; fi
    done
}

"$action"
