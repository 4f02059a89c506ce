{
  "manifest": {
    "model_path": "models/model.bin",
    "model_hash": "1f21b4d297981071e1ca4b7fbb6818b6d8d1364e81ed16cab68e86b9f6d72d00",
    "training_metadata": {
      "dataset_hash": "\u00e9\ud83d\ude00\"\\\n",
      "training_start": "2026-01-01",
      "training_end": null,
      "hyperparameters": {
        "lr": 2e-05,
        "epochs": 3,
        "Warmup": 0.1,
        "list": [
          1,
          2.0,
          true
        ]
      },
      "framework_version": "x"
    },
    "signature_timestamp": "2026-11-20T00:00:00",
    "signer_id": "training-pipeline-v1"
  },
  "signature": "d9bdcfb787b6b5167d4c2a44841610fb6d6a21ce22c7d7f5cb82afd76aae1494c57e3277a7bfb9b091afdffa80a5a1cd5044d8c5feb0c9f40b159cdb07224855a63763a7815946426bd27ca075fd7a76f7288a9764e4b160eb5003ac94e69dfcc52a5e30a0d89be294e3d224dd604c92b63ad8e36a10352b54f8dbe5dfe57c7aecfd2a3a4f23e29292c044b90c44e79d7b30a6327b56540e7deef66424e0790a254bb0b9b4347dba360af05c3c0272024aff16c7b48b8c30797e20b0ddae5a816ed7cb3d7222e6db1d923511c3a0059a07a5178d29839f95f38ec17b23837b816fb1167c33889e1e646fa0ba1d4a09d2a8403f41baa301ff49d392cdb746f47ddaa8aa00bbe10a4cc3d9fd616007e5afe4277e73b9f15ae6b1879925a5fc99faaa0384d1f4d4ea92ee49a8ea7a3008970b1623fb06604717fcfab236eb0458cc47c37bb0d24d3c860219acb97f19a32597a154c42b057f1ac02aa804af04a4a9e3660102e697ffb94b1e9ada1c6d71083e3638266b266bd9cbea7335df3e22a0"
}