"""A stand-in for huggingface_hub: repositories are folders, nothing is fetched."""

import shutil
import types
from pathlib import Path


class StandIn(types.ModuleType):
    """Repositories below a folder by name; records what it was called with."""

    def __init__(self, root):
        super().__init__("huggingface_hub")
        self.root, self.fetched, self.made, self.commits = Path(root), [], [], []
        stand_in = self

        class HfApi:
            def __init__(self, library_name, library_version):
                assert library_name == "genscene"

            def create_repo(self, repo_id, private, exist_ok):
                assert exist_ok
                if repo_id.startswith("another/"):
                    raise PermissionError("403 Forbidden:\nyou may not write there")
                stand_in.made.append((repo_id, private))
                (stand_in.root / repo_id).mkdir(parents=True, exist_ok=True)
                return f"hub:{repo_id}"

            def upload_folder(self, repo_id, folder_path, allow_patterns, revision, commit_message):
                for name in allow_patterns:
                    shutil.copy(Path(folder_path) / name, stand_in.root / repo_id / name)
                stand_in.commits.append((repo_id, sorted(allow_patterns), revision, commit_message))

        self.HfApi = HfApi

    def hf_hub_download(self, repo_id, filename, revision, library_name, library_version):
        """The path of a file in a repository."""
        assert library_name == "genscene"
        self.fetched.append((repo_id, filename, revision))
        path = self.root / repo_id / filename
        if not path.is_file():
            raise FileNotFoundError(f"404 Client Error.\n\nEntry Not Found: {filename}")
        return str(path)
