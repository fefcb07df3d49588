/** Stands in for Excalidraw's Mermaid importer, which is not shipped. Pasted diagram text stays text. */
export const parseMermaidToExcalidraw = (): Promise<never> => Promise.reject(new Error("Mermaid diagrams are not supported on this board."));
