"""Hand the streams of a trace over to a Tau specification."""

from pathlib import Path

from idi_fast.artifact import read_trace
from idi_fast.errors import ArtifactError
from idi_fast.streams import contract_streams, install_streams, left_behind, select_streams, stream_files, stream_type


def export_streams(artifact: str | Path, folder: str | Path, contract: str = "all") -> dict:
    """Write the `.in` files and streams.json of a contract into `folder`, all or none; other files stay.

    artifact: a folder that `train` or `backtest` wrote, or its trace.parquet. Returns what was written: folder,
    contract, ticks, the Tau type of each stream, and left_behind, streams of an earlier export that are still there.
    Raises ArtifactError, InputError, OutputError.
    """
    contract_streams(contract)  # an unknown name is said before anything is read
    frame, about = read_trace(artifact)
    if frame.height == 0:
        raise ArtifactError(f"the trace of {artifact} has no ticks; an empty stream stops a specification at once")
    usable = [name for name in frame.columns if frame[name].dtype.is_integer() and frame[name].null_count() == 0]
    chosen = select_streams({name: frame[name].to_numpy() for name in usable}, contract)
    install_streams(stream_files(chosen, newline=about["compat"] is None), Path(folder))
    return {
        "folder": str(folder),
        "contract": contract,
        "ticks": frame.height,
        "streams": {name: stream_type(name) for name in chosen},
        "left_behind": left_behind(Path(folder), contract),
    }
