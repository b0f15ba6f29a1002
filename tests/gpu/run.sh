#!/bin/sh
# Mining and matching on a GPU: installs what is missing, runs the tests, prints one table.
#
#     tests/gpu/run.sh                        on a machine with an NVIDIA GPU (CUDA 13), < 8 minutes
#     tests/gpu/run.sh --device cpu --quick   anywhere: shows that the table's script works
#
# PYTHON says which Python; it must be one that pip may install into. Status 77: there is no GPU.
set -eu
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}

case " $* " in
*" --device cpu "*) exec "$python" -m tests.gpu.table "$@" ;;
esac

if ! nvidia-smi >/dev/null 2>&1; then
    echo "skipped: no NVIDIA GPU here (nvidia-smi finds none). --device cpu --quick tries the script"
    exit 77
fi
for module in explgraph numba_cuda array_api_compat pytest pytest_benchmark; do
    if ! "$python" -c "import importlib.util as u, sys; sys.exit(not u.find_spec('$module'))"; then
        "$python" -m pip install -q -e '.[cuda]' pytest pytest-benchmark
        break
    fi
done
timeout 200 "$python" -m pytest -q -p no:cacheprovider \
    tests/mining/test_cuda.py tests/mining/test_cuda_compile.py tests/mining/test_on_tensors.py
timeout 260 "$python" -m tests.gpu.table "$@"
