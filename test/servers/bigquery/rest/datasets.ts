import type { Dataset, Warehouse } from '../store/warehouse.ts';
import { ok, type Request, type Route } from './context.ts';

const warehouse = (request: Request): Warehouse => request.fake.warehouse;

function resource(dataset: Dataset): Record<string, unknown> {
  return {
    location: 'US',
    ...dataset.body,
    kind: 'bigquery#dataset',
    id: `${dataset.project}:${dataset.name}`,
    etag: `"${dataset.createdAt}-${dataset.version}"`,
    datasetReference: { projectId: dataset.project, datasetId: dataset.name },
    creationTime: String(dataset.createdAt),
  };
}

export const datasetRoutes: Route[] = [
  {
    name: 'datasets.list',
    verb: 'GET',
    path: ':project/datasets',
    handle: request => {
      const all = warehouse(request).allDatasets(request.at['project'] ?? '');
      return ok({ kind: 'bigquery#datasetList', datasets: all.map(resource) });
    },
  },
  {
    name: 'datasets.insert',
    verb: 'POST',
    path: ':project/datasets',
    handle: request => {
      const reference = request.body['datasetReference'] as { datasetId?: string } | undefined;
      return ok(
        resource(
          warehouse(request).createDataset(request.at['project'] ?? '', reference?.datasetId ?? '', request.body),
        ),
      );
    },
  },
  {
    name: 'datasets.get',
    verb: 'GET',
    path: ':project/datasets/:dataset',
    handle: request =>
      ok(resource(warehouse(request).dataset(request.at['project'] ?? '', request.at['dataset'] ?? ''))),
  },
  {
    name: 'datasets.patch',
    verb: 'PATCH',
    path: ':project/datasets/:dataset',
    handle: request => {
      const dataset = warehouse(request).dataset(request.at['project'] ?? '', request.at['dataset'] ?? '');
      dataset.body = { ...dataset.body, ...request.body };
      dataset.version++;
      return ok(resource(dataset));
    },
  },
  {
    name: 'datasets.delete',
    verb: 'DELETE',
    path: ':project/datasets/:dataset',
    handle: request => {
      const withTables = request.query.get('deleteContents') === 'true';
      warehouse(request).dropDataset(request.at['project'] ?? '', request.at['dataset'] ?? '', withTables);
      return { status: 204, body: null };
    },
  },
];
