import json
from pathlib import Path
from mmmodal.conversation.records import Record
class RecordDataset:
    def __init__(self, path, *, root=None, root_maps=(), format=None):
        self.root = Path(root) if root else Path(path).parent
        self.rows = [l for l in Path(path).read_text().splitlines() if l]
        self.path = path
    def __len__(self): return len(self.rows)
    def __getitem__(self, i): return f"{self.path}:{i+1}", Record.model_validate(json.loads(self.rows[i]))
