// Checks a log in the tlog-tiles layout with Go's own implementation of transparency logs: the checkpoint, every entry's
// hash, an inclusion proof of every entry, and the consistency of every size with the whole.
//
//	go-log DIRECTORY VKEY [CHECKPOINT...]
//
// Each CHECKPOINT is a file with an earlier checkpoint, of which the log must be a continuation.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height, width = 8, 256

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: go-log DIRECTORY VKEY [CHECKPOINT...]")
		os.Exit(2)
	}
	if err := check(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "refused:", err)
		os.Exit(1)
	}
}

func check(root, vkey string, earlier []string) error {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	tree, err := checkpoint(filepath.Join(root, "checkpoint"), verifier)
	if err != nil {
		return err
	}
	if tree.N == 0 {
		fmt.Println("verified: an empty log")
		return nil
	}
	// Every hash that this gives has been led to the root.
	hashes := tlog.TileHashReader(tree, &tiles{root: root})
	for n := int64(0); n < (tree.N+width-1)/width; n++ {
		w := min(tree.N-n*width, width)
		entries, err := bundle(root, n, int(w))
		if err != nil {
			return err
		}
		for i, entry := range entries {
			index := n*width + int64(i)
			found := tlog.RecordHash(entry)
			read, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
			if err != nil {
				return err
			}
			if read[0] != found {
				return fmt.Errorf("entry %d is not that of the tree", index)
			}
			proof, err := tlog.ProveRecord(tree.N, index, hashes)
			if err != nil {
				return err
			}
			if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, found); err != nil {
				return fmt.Errorf("entry %d: %w", index, err)
			}
		}
	}
	for size := int64(1); size <= tree.N; size++ {
		hash, err := tlog.TreeHash(size, hashes)
		if err != nil {
			return err
		}
		if err := consistent(tree, tlog.Tree{N: size, Hash: hash}, hashes); err != nil {
			return err
		}
	}
	for _, path := range earlier {
		before, err := checkpoint(path, verifier)
		if err != nil {
			return err
		}
		if err := consistent(tree, before, hashes); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	fmt.Printf("verified: %d entries, %d earlier checkpoints\n", tree.N, len(earlier))
	return nil
}

func consistent(now, before tlog.Tree, hashes tlog.HashReader) error {
	if before.N == 0 {
		return nil
	}
	proof, err := tlog.ProveTree(now.N, before.N, hashes)
	if err != nil {
		return err
	}
	return tlog.CheckTree(proof, now.N, now.Hash, before.N, before.Hash)
}

// A checkpoint's text: origin, size, root. Go's own tlog.ParseTree reads only that of its checksum database.
func checkpoint(path string, verifier note.Verifier) (tlog.Tree, error) {
	bytes, err := os.ReadFile(path)
	if err != nil {
		return tlog.Tree{}, err
	}
	opened, err := note.Open(bytes, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("%s: %w", path, err)
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() || lines[3] != "" {
		return tlog.Tree{}, fmt.Errorf("%s: not a checkpoint of %s", path, verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	hash, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(hash) != tlog.HashSize {
		return tlog.Tree{}, fmt.Errorf("%s: no root", path)
	}
	return tlog.Tree{N: size, Hash: tlog.Hash(hash)}, nil
}

type tiles struct{ root string }

func (*tiles) Height() int { return height }

func (*tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t *tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range wanted {
		bytes, err := read(t.root, path(strconv.Itoa(tile.L), tile.N, tile.W), path(strconv.Itoa(tile.L), tile.N, width))
		if err != nil {
			return nil, err
		}
		if len(bytes) < tile.W*tlog.HashSize {
			return nil, fmt.Errorf("%s is too short", tile.Path())
		}
		all = append(all, bytes[:tile.W*tlog.HashSize])
	}
	return all, nil
}

func bundle(root string, n int64, w int) ([][]byte, error) {
	bytes, err := read(root, path("entries", n, w))
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	for len(bytes) > 0 {
		if len(bytes) < 2 {
			return nil, errors.New("a bundle is cut short")
		}
		length := int(binary.BigEndian.Uint16(bytes))
		if len(bytes) < 2+length {
			return nil, errors.New("a bundle is cut short")
		}
		entries = append(entries, bytes[2:2+length])
		bytes = bytes[2+length:]
	}
	if len(entries) != w {
		return nil, fmt.Errorf("bundle %d has %d entries, expected %d", n, len(entries), w)
	}
	return entries, nil
}

// The first of these files that there is.
func read(root string, paths ...string) (bytes []byte, err error) {
	for _, path := range paths {
		if bytes, err = os.ReadFile(filepath.Join(root, path)); err == nil {
			return bytes, nil
		}
	}
	return nil, err
}

// Go's own Tile.Path has the height in it, which tlog-tiles leaves out.
func path(level string, n int64, w int) string {
	number := fmt.Sprintf("%03d", n%1000)
	for n >= 1000 {
		n /= 1000
		number = fmt.Sprintf("x%03d/%s", n%1000, number)
	}
	if w < width {
		number += fmt.Sprintf(".p/%d", w)
	}
	return "tile/" + level + "/" + number
}
